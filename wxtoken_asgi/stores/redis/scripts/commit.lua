local LONGER = 1.002 -- no two clocks go alike

local function late(row, commit)
  if not commit.left or commit.fence ~= row.fence or row.lease_until == 0 then
    return 0
  end
  return math.max(0, commit.left - (row.lease_until - now))
end

local function take(row, commit) -- whether it was taken, and whether what is held is newer
  if is_before(row, commit.over) then
    return 0, hear_before(row, commit.over, commit.refused) and 1 or 0
  end
  if commit.fence < row.fence then
    if commit.value ~= row.value then
      hear_late(row, commit.refused)
    end
    return 0, 0
  end
  if commit.value == row.value and (commit.fence == row.ended or commit.fence == row.version) then
    trust(row, now + commit.ttl, now + commit.ask)
    return 1, 0
  end
  local said_at = now - late(row, commit)
  if commit.fence ~= row.ended then
    add_costs(row, commit.costs)
  end
  end_lease(row, commit.fence, commit.refund)
  row.brought_at = commit.over and math.floor(now - commit.over * LONGER) or row.granted_at
  write(row, commit, said_at)
  if commit.asked then
    row.asked_at = now
  end
  return 1, 0
end

local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  local taken, newer = take(row, cjson.decode(ARGV[index - FIRST + 1]))
  put(row)
  answers[#answers + 1] = {record(row), taken, newer}
end
return answer(answers)
