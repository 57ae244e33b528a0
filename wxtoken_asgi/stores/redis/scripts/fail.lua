local function take(row, fail)
  if fail.fence < row.fence then
    if is_before(row, fail.over) then
      hear_before(row, fail.over, fail.refused)
    else
      hear_late(row, fail.refused)
    end
    return
  elseif fail.fence == row.ended then
    return
  end
  add_costs(row, fail.costs)
  end_lease(row, fail.fence, fail.refund)
  if fail.cut then
    doubt(row, now + fail.cut[1], now + fail.cut[2])
  end
  if fail.asked then
    row.asked_at, row.asked_error, row.asked_error_for = now, fail.error, fail.error_for
  end
  if not fail.error then
    return
  end
  row.attempts = row.attempts + 1
  row.error, row.error_for = fail.error, fail.error_for
  row.failed_at = row.granted_at
  row.wait_until = now + fail.wait
  row.changed = true
end

local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  take(row, cjson.decode(ARGV[index - FIRST + 1]))
  put(row)
  answers[#answers + 1] = record(row)
end
return answer(answers)
