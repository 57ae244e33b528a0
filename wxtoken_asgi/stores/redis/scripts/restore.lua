local function take(row, saved)
  if saved.version <= row.version then
    return
  end
  if saved.version == row.fence then -- what its own lease brought, and could not commit
    end_lease(row, saved.version, nil)
  end
  if row.owner then
    row.unseen = row.fence
  end
  advance(row, math.max(row.fence, saved.version))
  row.brought_at = saved.version == row.fence and row.granted_at or 0
  row.version, row.rank = saved.version, saved.version
  row.value = saved.value
  row.ends_at = now + saved.ttl
  row.ask_at = now + saved.ask
  row.state = saved.state
  row.changed = true
  if saved.fence == 0 then
    return
  end
  if row.version <= row.doubted then
    trust(row, row.doubt_end, row.doubt_ask)
  end
  if row.version == row.fence and row.late_end then
    trust(row, row.late_end, row.late_ask)
  end
end

local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  local saved = cjson.decode(ARGV[index - FIRST + 1])
  if saved.value and saved.ttl > 0 then
    take(row, saved)
  end
  put(row)
  answers[#answers + 1] = record(row)
end
return answer(answers)
