-- Sets an affinity key per conversation; the front proxy hashes it to route all requests of a conversation to the replica
-- that has its prefix cached.
--
-- The key is derived from the first of these that is present: the header x-session-id; OpenAI's prompt_cache_key; the
-- messages, or OpenAI's input items, up to and including the first user message, which later requests of the conversation
-- repeat; the beginning of a prompt. Strings are not decoded: a client encodes the same conversation in the same way.

local SESSION, KEY = "x-session-id", "x-llm-affinity"
local PROMPT_BYTES = 512 -- Prefix of a prompt that is hashed; prompts grow from request to request.
local HASHED_BYTES = 65536
local QUOTE, OPEN_BRACE, OPEN_BRACKET = 34, 123, 91
local USER = "\10\4user" -- First bytes of a user's ChatMessage: field 1 (role), length 4.

local function end_of_string(json, from)
  local at = json:find('["\\]', from)
  while at and json:byte(at) ~= QUOTE do
    at = json:find('["\\]', at + 2)
  end
  return at or #json
end

-- Returns the position of the end of the object that contains `from`, which must be outside strings.
local function end_of_object(json, from)
  local depth, at = 0, json:find('["{}%[%]]', from)
  while at do
    local byte = json:byte(at)
    if byte == QUOTE then
      at = end_of_string(json, at + 1)
    elseif byte == OPEN_BRACE or byte == OPEN_BRACKET then
      depth = depth + 1
    elseif depth == 0 then
      return at
    else
      depth = depth - 1
    end
    at = json:find('["{}%[%]]', at + 1)
  end
  return #json
end

-- Returns the end of the key's first value that matches the pattern, and the pattern's capture. A key inside a string does
-- not match: its quotes are escaped.
local function value_of(json, key, pattern, from)
  local _, at = json:find(key, from, true) -- Plain: much faster than a pattern in a large body.
  while at do
    local _, last, captured = json:find("^%s*:%s*" .. pattern, at + 1)
    if last then
      return last, captured
    end
    _, at = json:find(key, at + 1, true)
  end
end

local function json_prefix(json)
  local _, named = value_of(json, '"prompt_cache_key"', '"([^"]+)"', 1)
  if named then
    return named
  end
  local list = value_of(json, '"messages"', "%[", 1) or value_of(json, '"input"', "%[%s*{", 1)
  if list then
    local messages = json:sub(list, list + HASHED_BYTES)
    local role = value_of(messages, '"role"', '"user"', 1)
    return messages:sub(1, role and end_of_object(messages, role + 1))
  end
  -- Two patterns, because an optional bracket between two runs of white space backtracks in quadratic time.
  local quote = value_of(json, '"prompt"', '"', 1) or value_of(json, '"prompt"', '%[%s*"', 1)
  local prompt = quote and json:sub(quote, quote + PROMPT_BYTES)
  return prompt and prompt:sub(1, end_of_string(prompt, 2))
end

local function varint(bytes, at)
  local value, scale = 0, 1
  local byte = bytes:byte(at)
  while byte and byte >= 128 do
    value, scale, at = value + (byte - 128) * scale, scale * 128, at + 1
    byte = bytes:byte(at)
  end
  return byte and value + byte * scale, at + 1
end

-- Field 1 is the prompt of a GenerateRequest, and the messages of a ChatRequest. Fields are serialised in numeric order.
local function grpc_prefix(frame, is_chat)
  local at, first = 6, 6 -- After the gRPC frame's compression flag (1 byte) and length (4 bytes).
  while frame:byte(1) == 0 and frame:byte(at) == 10 do
    local length, from = varint(frame, at + 1)
    if not length then
      break
    end
    at = from + length
    if not is_chat then
      return frame:sub(from, math.min(at, from + PROMPT_BYTES) - 1)
    elseif frame:sub(from, from + #USER - 1) == USER then
      break
    end
  end
  return at > first and frame:sub(first, at - 1) or nil
end

local function prefix(handle, path)
  local method = path:match("^/llm_inference%.v1%.InferenceService/(%a+)$")
  if path:find("^/llm_inference%.") and not method then
    return nil
  end
  local body = handle:body()
  local bytes = body and body:getBytes(0, body:length())
  if not bytes then
    return nil
  end
  if method then
    return grpc_prefix(bytes, method:find("^Chat") ~= nil)
  end
  return json_prefix(bytes)
end

-- Polynomial hash modulo the largest prime below 2^32, exact in Lua's doubles. Envoy hashes the result again.
local function digest(text)
  local hash = #text
  for at = 1, math.min(#text, HASHED_BYTES) do
    hash = (hash * 31 + text:byte(at)) % 4294967291
  end
  return string.format("%08x", hash)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove(KEY) -- Clients must not set it.
  local session = headers:get(SESSION)
  local key = session ~= "" and session or prefix(handle, headers:get(":path"))
  if key then
    handle:headers():replace(KEY, digest(key))
  end
  handle:clearRouteCache() -- Routes match on the presence of the key.
end
