-- Looks at every request before anything else does. Refuses what the service could not read, removes what it must not see,
-- keeps out the pages of other origins, and answers HEAD with the headers of GET.
--
-- gRPC's server ends a call whose metadata it cannot parse with INTERNAL, so a header that is fine in HTTP would be a 500.
-- POLICY is defined by the renderer (envoy/guard.py): `origins` and `hosts` are sets of lower-case texts or nil for any,
-- `json` says whether bodies need the type of JSON.

local INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED = 3, 7, 12
local ENCODINGS = {identity = true, gzip = true, deflate = true}
local SAFE_GRPC = {["grpc-accept-encoding"] = true, ["grpc-encoding"] = true, ["grpc-timeout"] = true}

local function is_grpc(headers)
  return (headers:get("content-type") or ""):find("^application/grpc") ~= nil
end

local function refuse(handle, status, code, text)
  local reply = {[":status"] = status}
  if is_grpc(handle:headers()) then
    reply["grpc-status"] = tostring(code)
  end
  handle:respond(reply, text)
end

-- As strict as gRPC's parser: the bits after the last byte are 0.
local function is_base64(text)
  local digits = text:match("^([%w+/]*)=?=?$")
  if not digits then
    return false
  end
  local rest = #digits % 4
  return rest == 0 or (rest == 2 and digits:find("[AQgw]$") ~= nil) or (rest == 3 and digits:find("[AEIMQUYcgkosw048]$") ~= nil)
end

-- Returns what is wrong with a header and the gRPC code for it; nil if it is fine.
local function problem(name, value, grpc)
  if value:find("[\128-\255]") then
    return "must be ASCII", INVALID_ARGUMENT
  elseif name == "grpc-timeout" and not (#value <= 9 and value:find("^%d+[HMSmun]$")) then
    return "must be at most 8 digits and one of H, M, S, m, u and n", INVALID_ARGUMENT
  elseif grpc and name == "grpc-encoding" and not ENCODINGS[value] then
    return "must be identity, gzip or deflate", UNIMPLEMENTED
  elseif grpc and name:find("%-bin$") and not is_base64(value) then
    return "must be base64", INVALID_ARGUMENT
  end
end

-- Whether a header means nothing to the service: `grpc-*` is reserved for gRPC's own, and REST has no binary headers.
local function is_foreign(name, grpc)
  if name:find("%-bin$") then
    return not grpc
  elseif name:find("^grpc%-") then
    return name ~= "grpc-timeout" and not (grpc and SAFE_GRPC[name])
  end
  return false
end

-- Returns the authority in lower case, without the port that is the scheme's default.
local function authority_of(text)
  return text:lower():gsub(":80$", ""):gsub(":443$", ""):gsub("%.$", "")
end

local function is_origin_allowed(origin, authority)
  if POLICY.origins[origin:lower()] then
    return true
  end
  local host = origin:match("^https?://(.+)$")
  local name = host and host:lower():gsub(":%d+$", "")
  if POLICY.origins["localhost"] and (name == "localhost" or name == "127.0.0.1" or name == "[::1]") then
    return true
  end
  return host ~= nil and authority_of(host) == authority_of(authority)
end

-- A page whose own name was made to point here (DNS rebinding) is of the same origin; its name is what tells it apart.
local function is_host_known(authority)
  if authority:find("^%[[%x:.]+%]") then
    return true
  end
  local host = authority:lower():gsub(":%d+$", ""):gsub("%.$", "")
  local is_address = host:find("^%d+%.%d+%.%d+%.%d+$") ~= nil
  return is_address or host == "localhost" or host:find("%.localhost$") ~= nil or POLICY.hosts[host] ~= nil
end

-- Whether the body is none that a page may send anywhere without asking (https://fetch.spec.whatwg.org, "CORS-safelisted").
local function has_typed_body(headers)
  if (headers:get("authorization") or ""):lower():find("^bearer ") then
    return true -- Nor may a page send that unasked: of its values, browsers add those of other schemes alone.
  end
  local kind = (headers:get("content-type") or ""):lower()
  local length = headers:get("content-length")
  local is_empty = kind == "" and (length == nil or length == "0") and headers:get("transfer-encoding") == nil
  local is_connect = kind:find("^application/proto") ~= nil or kind:find("^application/connect%+") ~= nil
  return is_empty or is_connect or kind:find("^application/json") ~= nil or kind:find("^application/[%w.-]+%+json") ~= nil or is_grpc(headers)
end

local function is_kept_out(handle, headers)
  local origin, authority = headers:get("origin"), headers:get(":authority") or ""
  if POLICY.origins and origin and not is_origin_allowed(origin, authority) then
    refuse(handle, "403", PERMISSION_DENIED, "origin: pages of this origin may not call; CORS_ALLOWED_ORIGINS lists those that may")
  elseif POLICY.hosts and not is_host_known(authority) then
    refuse(handle, "403", PERMISSION_DENIED, "host: not a name of this service; LLM_ALLOWED_HOSTS lists those that are")
  elseif POLICY.json and headers:get(":method") == "POST" and not has_typed_body(headers) then
    refuse(handle, "415", INVALID_ARGUMENT, "content-type: must be application/json")
  else
    return false
  end
  return true
end

-- The transcoder knows no HEAD. A stream would not end, so what it is about is asked instead.
local function ask_by_get(handle, headers)
  local head = handle:streamInfo():dynamicMetadata()
  headers:replace(":method", "GET")
  local path, rest = headers:get(":path"):match("^(/api/llms/[^?]+):watch(.*)$")
  if path then
    headers:replace(":path", path .. rest)
  end
  head:set("guard", "head", path and "stream" or "whole")
  handle:clearRouteCache()
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local grpc, foreign = is_grpc(headers), {}
  for name, value in pairs(headers) do
    if is_foreign(name, grpc) then
      foreign[#foreign + 1] = name
    else
      local text, code = problem(name, value, grpc)
      if text then
        return refuse(handle, code == UNIMPLEMENTED and "501" or "400", code, name .. ": " .. text)
      end
    end
  end
  if grpc then
    headers:replace("te", "trailers") -- gRPC's server resets calls without it; HTTP/1.1 does not carry it on.
  end
  for _, name in ipairs(foreign) do
    headers:remove(name)
  end
  if not is_kept_out(handle, headers) and headers:get(":method") == "HEAD" then
    ask_by_get(handle, headers)
  end
end

function envoy_on_response(handle)
  local head = (handle:streamInfo():dynamicMetadata():get("guard") or {}).head
  if not head then
    return
  end
  local length = handle:headers():get("content-length")
  local body = handle:body() -- Waits; the headers' object is not valid afterwards.
  if body then
    body:setBytes("")
  end
  local headers = handle:headers()
  if head == "stream" and headers:get(":status") == "200" then
    headers:replace("content-type", "text/event-stream")
    length = nil
  end
  if length then
    headers:replace("content-length", length)
  else
    headers:remove("content-length")
  end
end
