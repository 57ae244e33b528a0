local LONGER = 1.002 -- no two clocks go alike

local function late(row, commit)
  if not commit.left or commit.fence ~= row.fence or row.lease_until == 0 then
    return 0
  end
  return math.max(0, commit.left - (row.lease_until - now))
end

local function is_here(row, commit)
  return commit.value == row.value and
    (commit.fence == row.ended or commit.fence == row.version or (commit.over and commit.fence == row.told))
end

local function doubts_since(row, commit) -- nil: there are none
  if not commit.refused or not row.last_doubt then
    return nil
  end
  local own = now + commit.refused[1]
  if row.last_doubt <= own then
    return nil
  end
  local ends, ask = row.late_end, row.late_ask
  if row.doubted >= row.version then
    ends, ask = math.min(row.doubt_end, ends or row.doubt_end), math.min(row.doubt_ask, ask or row.doubt_ask)
  end
  return ends and math.max(ends, own), ask
end

local function doubt_while_leased(row, commit)
  if not row.lapse_end or not row.lapse_ask or commit.fence < row.rank then
    return false
  end
  local ends, ask = doubts_since(row, commit)
  ends, ask = math.min(row.lapse_end, ends or row.lapse_end), math.min(row.lapse_ask, ask or row.lapse_ask)
  return {int(ends - now), int(ask - now)}
end

local function hear_overtaken(row, commit) -- taken, newer, doubt
  if commit.value == row.value then
    return 1, 0, false
  elseif not is_before(row, commit.over) then
    hear_late(row, commit.refused)
    return 0, 0, false
  end
  local doubt = doubt_while_leased(row, commit) -- before it casts one itself
  if hear_before(row, commit.over, commit.refused) then
    return 0, 1, false
  end
  return 0, 0, doubt
end

local function take_unleased(row, commit)
  local held, ends_at, ask_at = commit.value == row.value, row.ends_at, row.ask_at
  local ends, ask = doubts_since(row, commit)
  local failed_since = row.failed_at ~= 0 and row.failed_at >= now - commit.over
  add_costs(row, commit.costs)
  row.rank = held and math.max(commit.fence, row.rank) or commit.fence
  end_lease(row, math.max(commit.fence, row.fence + 1), commit.refund)
  row.told = commit.fence
  row.brought_at = math.floor(now - commit.over * LONGER)
  set_value(row, commit, now)
  if held and ends_at > now then -- nobody knows how long this was on its way: it ends when it did
    row.ends_at, row.ask_at = ends_at, ask_at
  end
  if ends then
    trust(row, ends, ask)
  end
  if not failed_since then
    forgive(row)
  end
end

local function hear_unleased(row, commit)
  if is_here(row, commit) then
    return 1, 0, false
  elseif is_before(row, commit.over) or (row.owner and commit.fence < row.fence) then
    return hear_overtaken(row, commit)
  elseif commit.value ~= row.value and commit.fence < row.rank then
    hear_late(row, commit.refused)
    return 0, 0, false
  end
  take_unleased(row, commit)
  return 1, 0, false
end

local function known(row, commit) -- nil: it is new
  if commit.value == row.value and commit.fence == row.unseen and not commit.refused then
    return row.ends_at, row.ask_at
  end
end

local function take(row, commit)
  if commit.fence < row.fence then
    if commit.value ~= row.value then
      hear_late(row, commit.refused)
    end
    return 0
  end
  if is_here(row, commit) then
    trust(row, now + commit.ttl, now + commit.ask)
    return 1
  end
  local said_at = now - late(row, commit)
  if commit.fence ~= row.ended then
    add_costs(row, commit.costs)
  end
  end_lease(row, commit.fence, commit.refund)
  row.brought_at, row.rank = row.granted_at, commit.fence
  local ends, ask = known(row, commit)
  write(row, commit, said_at)
  if ends then
    trust(row, ends, ask)
  end
  if commit.asked then
    row.asked_at = now
  end
  return 1
end

local function hear(row, commit)
  if commit.over then
    return hear_unleased(row, commit)
  end
  return take(row, commit), 0, false
end

local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  local taken, newer, doubt = hear(row, cjson.decode(ARGV[index - FIRST + 1]))
  put(row)
  answers[#answers + 1] = {record(row), taken, newer, doubt}
end
return answer(answers)
