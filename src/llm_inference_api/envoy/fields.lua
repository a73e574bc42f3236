-- Names the first field of a JSON body that its message does not have. The transcoder passes over such fields, so the
-- service could not tell a misspelt one from none. It refuses what this header names, like everything else by field.
--
-- Likewise the first parameter of a query that the method does not take there, or that is given twice: the transcoder would
-- let it override the path or the body, or take its last value.
--
-- Bodies of very many values are emptied, and refused likewise: the transcoder takes up to half a second for 4 MB of them,
-- in which nobody else of its thread is served.
--
-- MOST_VALUES and the tables are defined by the renderer (envoy/fields.py). BODIES has the message of a method and path,
-- PATTERNS the same by a pattern of both, and a message has its field names: true for a value that is not looked at, or the
-- message of the value or of its items. The field "*" stands for any name. QUERIES has pairs of such a pattern and a
-- table with the names of the parameters; the first one that fits counts.

local HEADER = "x-unknown-field"
local NO_JSON = "!" -- The transcoder's parser takes more than JSON: names without quotes, texts in single ones.
local TOO_MANY = "+" -- In place of a name, like NO_JSON.
local NO_PARAMETER, TWICE = "?", "&" -- Before the name of a parameter: `shown` writes none of these.
local DEEPEST = 100 -- Levels; as protobuf's parser.
local LONGEST = 64 -- Bytes of a name that are shown.
local PIECE = 65536 -- Bytes whose values are counted at once; a smaller body's are not counted.
local QUOTE, OPEN_BRACE, OPEN_BRACKET, CLOSE_BRACE, CLOSE_BRACKET = 34, 123, 91, 125, 93
local OTHER_QUOTE, BACKSLASH = 39, 92

-- Returns the position of the quote that ends the string; nil if there is none.
local function end_of_string(json, from)
  local at = json:find('"', from, true) -- Plain: much faster than a pattern in a long text.
  while at do
    local first = at
    while first > from and json:byte(first - 1) == BACKSLASH do
      first = first - 1
    end
    if (at - first) % 2 == 0 then
      return at
    end
    at = json:find('"', at + 1, true)
  end
end

-- Returns the position after a value that is not looked at; nil if it is none.
local function after(json, at)
  local byte, depth = json:byte(at), 0
  if byte ~= QUOTE and byte ~= OPEN_BRACE and byte ~= OPEN_BRACKET then
    return json:match("^[%w+.-]+()", at)
  end
  while at do
    byte = json:byte(at)
    if byte == QUOTE then
      at = end_of_string(json, at + 1)
    elseif byte == OTHER_QUOTE then
      return nil
    else
      depth = depth + ((byte == OPEN_BRACE or byte == OPEN_BRACKET) and 1 or -1)
    end
    if at and depth == 0 then
      return at + 1
    end
    at = at and json:find('["\'{}%[%]]', at + 1)
  end
end

-- Returns whether a text has more values than a body may have: commas outside of strings.
local function has_too_many(json)
  local count, at = 0, 1
  while at do
    local from = json:find('"', at, true)
    local stop = from and from - 1 or #json
    while at <= stop and count <= MOST_VALUES do
      local last = math.min(at + PIECE - 1, stop)
      count = count + select(2, json:sub(at, last):gsub(",", ""))
      at = last + 1
    end
    if count > MOST_VALUES then
      return true
    end
    local to = from and end_of_string(json, from + 1)
    at = to and to + 1
  end
  return false
end

local function unescaped(name)
  return (name:gsub("\\(.)(%x?%x?%x?%x?)", function(kind, digits)
    if kind == "u" and #digits == 4 then
      local code = tonumber(digits, 16)
      return code < 128 and string.char(code) or "\\u" .. digits
    end
    return kind .. digits
  end))
end

-- Returns a name in characters that a header may have, percent-encoded.
local function shown(name)
  return (name:sub(1, LONGEST):gsub("[^%w_-]", function(byte)
    return string.format("%%%02X", byte:byte())
  end))
end

local function decoded(text)
  return (text:gsub("%+", " "):gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function parameters_of(called)
  for _, pair in ipairs(QUERIES) do
    if called:find(pair[1]) then
      return pair[2]
    end
  end
end

-- Returns the report on the first wrong parameter of a query; nil if there is none.
local function wrong_parameter(called, query)
  local names, seen = parameters_of(called), {}
  if not names then
    return nil -- The transcoder refuses the path.
  end
  for parameter in query:gmatch("[^&]+") do
    local name = decoded(parameter:match("^[^=]*"))
    if not names[name] or seen[name] then
      return (seen[name] and TWICE or NO_PARAMETER) .. shown(name)
    end
    seen[name] = true
  end
end

local function joined(outer, inner)
  return inner and outer .. (inner:find("^%[") and "" or ".") .. inner
end

local value

-- The functions below return the position after what begins at `at`; else nil, and the place of an unknown field, if that
-- is why.

local function members(json, at, fields, depth)
  local first = json:match("^%s*}()", at)
  if first then
    return first
  end
  while true do
    local from = json:match('^%s*"()', at)
    local to = from and end_of_string(json, from)
    local start = to and json:match("^%s*:%s*()", to + 1)
    if not start then
      return nil
    end
    local name = json:sub(from, to - 1)
    if name:find("\\", 1, true) then
      name = unescaped(name)
    end
    local kind = fields[name] or fields["*"]
    if not kind then
      return nil, shown(name)
    end
    local place
    at, place = value(json, start, kind, depth + 1)
    if not at then
      return nil, joined(shown(name), place)
    end
    local mark
    mark, at = json:match("^%s*([,}])()", at)
    if mark ~= "," then
      return at
    end
  end
end

local function items(json, at, fields, depth)
  local first = json:match("^%s*%]()", at)
  if first then
    return first
  end
  local index = 0
  while true do
    local place
    at, place = value(json, json:find("%S", at), fields, depth + 1)
    if not at then
      return nil, joined("[" .. index .. "]", place)
    end
    local mark
    mark, at = json:match("^%s*([,%]])()", at)
    if mark ~= "," then
      return at
    end
    index = index + 1
  end
end

function value(json, at, kind, depth)
  local byte = at and json:byte(at)
  if not byte or depth > DEEPEST then
    return nil
  elseif kind ~= true and byte == OPEN_BRACE then
    return members(json, at + 1, kind, depth)
  elseif kind ~= true and byte == OPEN_BRACKET then
    return items(json, at + 1, kind, depth)
  end
  return after(json, at)
end

local function message_of(called)
  local name = BODIES[called]
  for pattern, message in pairs(PATTERNS) do
    name = name or (called:find(pattern) and message)
  end
  return name and MESSAGES[name]
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove(HEADER) -- Clients must not set it.
  if (headers:get("content-type") or ""):find("^application/grpc") then
    return
  end
  local path, query = headers:get(":path"):match("^([^?]*)%??(.*)$")
  local called = headers:get(":method") .. " " .. path
  local report = query ~= "" and wrong_parameter(called, query)
  if report then
    headers:replace(":path", path) -- Else the transcoder might refuse it first, without its name.
    headers:replace(HEADER, report)
    return
  end
  local message = message_of(called)
  local body = message and handle:body()
  local json = body and body:getBytes(0, body:length())
  if json and #json > PIECE and has_too_many(json) then
    body:setBytes("{}")
    handle:headers():replace(HEADER, TOO_MANY)
    return
  end
  local start = json and json:find("%S")
  if start then
    local at, place = value(json, start, message, 1)
    if not at then
      handle:headers():replace(HEADER, place or NO_JSON) -- Not `headers`, which waiting for the body has made invalid.
    end
  end
end
