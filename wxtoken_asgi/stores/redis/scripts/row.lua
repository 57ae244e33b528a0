-- One record and the rules for it: `wxtoken_asgi.stores.row.Row`, line by line. 0 is "never".
local NUMBERS = {
  'version', 'ends_at', 'ask_at', 'wait_until', 'attempts', 'fence', 'lease_until', 'granted_at', 'brought_at',
  'rank', 'asked_at', 'failed_at',
  'unseen', 'ended', 'told', 'doubted',
}
local OPTIONAL = {
  'lapse_end', 'lapse_ask', 'doubt_end', 'doubt_ask', 'last_doubt', 'late_end', 'late_ask', 'touched',
}
local WORDS = {
  'value', 'owner', 'state', 'error', 'error_for', 'asked_error', 'asked_error_for', 'budgets', 'charged',
}
local FIELDS, NUMERIC = {}, {}
for _, names in ipairs({NUMBERS, OPTIONAL, WORDS}) do
  for _, name in ipairs(names) do
    FIELDS[#FIELDS + 1] = name
    NUMERIC[#FIELDS] = names ~= WORDS
  end
end

local function load(key)
  local row = {key = key, was = {}}
  for _, name in ipairs(NUMBERS) do
    row[name] = 0
  end
  for index, text in ipairs(redis.call('HMGET', key, unpack(FIELDS))) do
    if text then
      row.was[FIELDS[index]] = text
      row[FIELDS[index]] = NUMERIC[index] and tonumber(text) or text
    end
  end
  return row
end

local function due_at(row)
  if row.owner then
    return row.lease_until
  end
  return math.max(row.wait_until, row.ask_at)
end

local function compare(row) -- what is to be written, and what is to go
  local set, drop = {}, {}
  for index, name in ipairs(FIELDS) do
    local held = row[name]
    local text = held and held ~= 0 and (NUMERIC[index] and int(held) or held)
    if text and text ~= row.was[name] then
      set[#set + 1] = name
      set[#set + 1] = text
    elseif not text and row.was[name] then
      drop[#drop + 1] = name
    end
  end
  return set, drop
end

local function put(row)
  if row.fence == 0 then -- it holds nothing, and nobody would look after it
    return
  end
  local set, drop = compare(row)
  if #set + #drop == 0 then
    return
  end
  set[#set + 1] = 'touched'
  set[#set + 1] = int(now)
  redis.call('HSET', row.key, unpack(set))
  if #drop > 0 then
    redis.call('HDEL', row.key, unpack(drop))
  end
  redis.call('ZADD', DUE, int(due_at(row)), member(row.key))
  wrote = true
  if row.changed then
    row.changed = false
    tell(row.key)
  end
end

local function forget(key)
  redis.call('ZREM', DUE, member(key))
  return redis.call('DEL', key) == 1
end

local function left(at)
  return math.max(at - now, 0)
end

local function decoded(text)
  return text and cjson.decode(text) or {}
end

local function spending(row)
  if not row.budgets then
    return false
  end
  local every = {}
  for name, buckets in pairs(cjson.decode(row.budgets)) do
    local used, eased_in = usage(buckets)
    if used > 0 then
      every[#every + 1] = {name, used, int(eased_in)}
    end
  end
  return #every > 0 and every
end

local function record(row)
  return {
    int(row.version), row.value or false, int(left(row.ends_at)), int(left(row.ask_at)),
    int(left(row.wait_until)), row.attempts, row.error or false, int(row.fence), row.state or '', spending(row),
  }
end

local function add_costs(row, costs)
  if not costs then
    return
  end
  local budgets = decoded(row.budgets)
  for _, cost in ipairs(costs) do
    budgets[cost[1]] = spent(budgets[cost[1]] or {}, cost[2])
  end
  row.budgets = cjson.encode(budgets)
end

local function trust(row, ends, ask)
  if not row.value then
    return
  end
  row.changed = row.changed or ends < row.ends_at
  row.ends_at = math.min(row.ends_at, ends)
  row.ask_at = math.min(row.ask_at, ask)
end

local function remember(row, ends, ask, upto)
  if row.doubted > row.version then
    ends, ask = math.min(ends, row.doubt_end), math.min(ask, row.doubt_ask)
  end
  row.doubted, row.doubt_end, row.doubt_ask = upto, ends, ask
end

local function doubt(row, ends, ask)
  trust(row, ends, ask)
  row.last_doubt = math.max(ends, row.last_doubt or ends)
  remember(row, ends, ask, row.fence - 1)
end

local function hear_late(row, limits) -- {ttl, ask}, from now
  if not limits then
    return
  end
  local ends, ask = now + limits[1], now + limits[2]
  doubt(row, ends, ask)
  row.late_end, row.late_ask = math.min(ends, row.late_end or ends), math.min(ask, row.late_ask or ask)
end

local function is_before(row, over)
  if not over then
    return false
  end
  return (row.brought_at ~= 0 and row.brought_at >= now - over)
    or (row.owner and row.granted_at ~= 0 and row.granted_at >= now - over)
end

local function hear_before(row, over, limits) -- whether what is held is newer
  local newer = row.brought_at ~= 0 and row.brought_at >= now - over
  if limits and not newer then
    doubt(row, now + limits[1], now + limits[2])
  end
  return newer
end

local function advance(row, fence)
  if fence == row.fence then
    return
  end
  if row.late_end then
    remember(row, row.late_end, row.late_ask, row.fence)
    row.late_end, row.late_ask = nil, nil
  end
  row.fence, row.granted_at = fence, 0
end

local function lapse(row)
  if not row.owner or now < row.lease_until then
    return
  end
  row.owner = nil
  if row.lapse_end and row.lapse_ask then
    doubt(row, row.lapse_end, row.lapse_ask)
  end
end

-- What every operation begins with: the record, and the lapse of its lease told to all.
local function look(key)
  local row = load(key)
  lapse(row)
  return row
end

local function end_lease(row, fence, refund)
  row.owner, row.lease_until = nil, 0
  advance(row, fence)
  row.ended = fence
  local names = {}
  for _, name in ipairs(refund or {}) do
    names[name] = true
  end
  local kept, given, budgets = {}, {}, nil
  for _, name in ipairs(decoded(row.charged)) do
    if given[name] then
      -- said twice, given back once
    elseif names[name] then
      given[name] = true
      budgets = budgets or decoded(row.budgets)
      budgets[name] = refunded(budgets[name])
    else
      kept[#kept + 1] = name
    end
  end
  row.charged = #kept > 0 and cjson.encode(kept) or nil
  row.budgets = budgets and cjson.encode(budgets) or row.budgets
end

local function set_value(row, fetched, said_at)
  if fetched.value ~= row.value or row.version == 0 then
    row.version, row.value = row.fence, fetched.value
    row.changed = true
  end
  row.ends_at = said_at + fetched.ttl
  row.ask_at = said_at + fetched.ask
  row.state = fetched.state
end

local function forgive(row)
  if row.error then
    row.changed = true
  end
  row.wait_until, row.attempts, row.error, row.error_for = 0, 0, nil, nil
  if row.asked_error then
    row.asked_at, row.asked_error, row.asked_error_for = 0, nil, nil
  end
end

local function write(row, fetched, said_at)
  set_value(row, fetched, said_at)
  forgive(row)
  if row.late_end then
    trust(row, row.late_end, row.late_ask)
  end
end
