-- What nobody has wanted for so long goes, unless it holds a state, which may be beyond replacing.
local FORGOTTEN = 30 * 24 * 3600 * SECOND
local MOST = 1000 -- looked at in one call
local found, named, looked = {}, {}, {}
local count = 0

local function check(name)
  looked[name] = true
  count = count + 1
  local row = look(call.prefix .. name)
  if row.fence == 0 or (now - (row.touched or 0) > FORGOTTEN and not row.owner and (row.state or '') == '') then
    forget(row.key)
    return
  end
  put(row)
  if due_at(row) <= now then -- else its lease lapsed before it was due
    found[#found + 1] = name
    named[name] = true
  end
end

local size = call.limit + 100
while true do
  local page = redis.call('ZRANGEBYSCORE', DUE, '-inf', int(now), 'LIMIT', 0, size)
  for _, name in ipairs(page) do
    if #found < call.limit and not looked[name] then
      check(name)
    end
  end
  if #found >= call.limit or #page < size or count >= MOST then
    break
  end
  size = 2 * size
end
local next_in = false
local first = redis.call('ZRANGEBYSCORE', DUE, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, #found + 1)
for index = 1, #first, 2 do
  if not named[first[index]] then
    next_in = int(left(tonumber(first[index + 1])))
    break
  end
end
return answer({next_in, found})
