local function take(row, commit)
  if commit.fence < row.fence then
    if commit.value ~= row.value then
      cut(row, commit.refused)
    end
    return 0
  end
  if commit.fence ~= row.ended then
    add_costs(row, commit.costs)
  end
  end_lease(row, commit.fence, commit.refund)
  write(row, commit)
  if commit.asked then
    row.asked_at = now
  end
  return 1
end

local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  local taken = take(row, cjson.decode(ARGV[index - FIRST + 1]))
  put(row)
  answers[#answers + 1] = {record(row), taken}
end
return answer(answers)
