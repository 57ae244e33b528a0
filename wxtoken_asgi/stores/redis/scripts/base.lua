-- What every script begins with: the namespace's own row, and its time.
--
-- KEYS: meta, due, news, bell, then one record for each question.
-- ARGV: the call (JSON), then the questions (JSON). Times are whole microseconds, exact in Lua's numbers.
local META, DUE, NEWS, BELL = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local FIRST = 4
local SECOND = 1000000
local STEP = 5 * SECOND -- above what two round trips of 2 s can make of an even clock
local call = cjson.decode(ARGV[1])

local function int(number)
  return string.format('%.0f', number)
end

local held = redis.call('HMGET', META, 'format', 'epoch', 'seq', 'offset', 'last', 'floor', 'mute', 'since', 'till')
if held[1] and held[1] ~= call.format then
  return redis.error_reply('WXFORMAT ' .. held[1])
end
local meta = {
  epoch = held[2],
  seq = tonumber(held[3] or 0),
  offset = tonumber(held[4] or 0),
  last = tonumber(held[5] or 0),
  floor = tonumber(held[6] or 0),
  mute = held[7] == '1' and '1',
  since = tonumber(held[8] or 0),
  till = tonumber(held[9] or 0),
}
local told = false -- something has changed that followers must hear of
local wrote = false

if not held[1] then -- a new or an emptied store: whoever followed another must read everything
  redis.call('DEL', NEWS, BELL)
  meta.epoch = call.fresh
  redis.call('HSET', META, 'format', call.format, 'epoch', meta.epoch, 'seq', 0, 'offset', 0, 'last', 0)
elseif call.epoch == meta.epoch and meta.seq < call.seq then -- rolled back: another history begins
  meta.epoch = call.fresh
  meta.seq = call.seq + 1
  redis.call('HSET', META, 'epoch', meta.epoch, 'seq', int(meta.seq)) -- both, even if a step is found below
  told = true
end

-- Time: the server's, plus an offset that takes its steps back.
local clock = redis.call('TIME')
local raw = clock[1] * SECOND + clock[2]
local fix = call.fix
if fix and fix[1] == meta.offset then -- a worker saw the clock step, and nobody has mended it since
  meta.offset = fix[2]
  meta.last = raw + meta.offset
  redis.call('HSET', META, 'offset', int(meta.offset), 'last', int(meta.last))
end
local seen = call.seen
if seen and seen.offset == meta.offset then
  local due_raw = seen.raw + seen.elapsed
  if math.abs(raw - due_raw) > STEP then
    if not (meta.since <= seen.raw and meta.till > due_raw + STEP) then
      return {'step', raw, meta.offset} -- nothing is done: the worker judges, and says it again
    end -- else another worker saw the clock go evenly all that time: the asker was frozen
  elseif raw - meta.till > 10 * SECOND or meta.till > raw then
    redis.call('HSET', META, 'since', int(seen.since), 'till', int(raw))
  end
end
local now = raw + meta.offset
if now < meta.last then -- never back
  meta.offset = meta.last - raw
  now = meta.last
  redis.call('HSET', META, 'offset', int(meta.offset))
end
local stamp = math.floor(now / 1000) -- fences are at least milliseconds, so they grow over a wipe

local function member(key)
  return string.sub(key, #call.prefix + 1)
end

local function tell(key)
  meta.seq = meta.seq + 1
  redis.call('ZADD', NEWS, int(meta.seq), member(key))
  told = true
end

-- Removed credentials stay in the news for those who have not heard yet, but not for ever.
local function trim()
  local most = 2 * redis.call('ZCARD', DUE) + 10000
  local extra = redis.call('ZCARD', NEWS) - most
  if extra > 0 then
    redis.call('ZREMRANGEBYRANK', NEWS, 0, extra - 1)
    local oldest = redis.call('ZRANGEBYSCORE', NEWS, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    redis.call('HSET', META, 'floor', int(oldest[2] - 1))
  end
end

local function ring()
  redis.call('HSET', META, 'seq', int(meta.seq))
  local rung = redis.pcall('XADD', BELL, 'MAXLEN', 1, int(meta.seq) .. '-1', 'ring', 1)
  local mute = type(rung) == 'table' and rung.err and '1' or false
  if mute ~= meta.mute then
    redis.call('HSET', META, 'mute', mute or '')
  end
  trim()
end

-- Each script ends with this: where the store stands, then the answers. They are one piece of JSON, which is
-- read many times faster than nested replies; its numbers are words, since cjson would round them.
local function answer(answers)
  if told then
    ring()
  end
  if (told or wrote) and now - meta.last >= SECOND then
    redis.call('HSET', META, 'last', int(now))
  end
  return {'done', raw, meta.offset, meta.epoch, meta.seq, cjson.encode(answers)}
end
