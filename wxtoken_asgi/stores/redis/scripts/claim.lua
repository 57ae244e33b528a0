local function outdated(error_for, claim)
  return error_for and error_for ~= claim.fingerprint
end

local function settles(row, claim)
  local alive = row.value and row.ends_at > now
  if not claim.asked then
    return alive and row.ask_at > now
  end
  if alive and row.version > claim.seen then
    return true
  end
  return alive and not row.asked_error and now - row.asked_at < claim.settled
end

local function hindrance(row, claim)
  if claim.asked and row.asked_error and not outdated(row.asked_error_for, claim) then
    local rest = row.asked_at + claim.settled - now
    if rest > 0 then
      return {'wait', int(math.max(rest, row.wait_until - now)), row.asked_error}
    end
  end
  if row.error and row.wait_until > now and not outdated(row.error_for, claim) then
    return {'wait', int(row.wait_until - now), row.error}
  end
  local budgets = decoded(row.budgets)
  for index, charge in ipairs(claim.charges) do
    local wait = room_in(budgets[charge[1]] or {}, charge[2])
    if wait > 0 then
      return {'spent', int(wait), index - 1}
    end
  end
end

local function grant(row, claim)
  row.owner, row.lease_until = call.owner, now + call.lease
  row.lapse_end, row.lapse_ask = nil, nil
  if claim.lapse then
    row.lapse_end, row.lapse_ask = now + claim.lapse[1], now + claim.lapse[2]
  end
  return {'granted'}
end

local function lease(row, claim)
  advance(row, math.max(row.fence + 1, stamp))
  row.granted_at = now
  local names = {}
  if #claim.charges > 0 then
    local budgets = decoded(row.budgets)
    for index, charge in ipairs(claim.charges) do
      budgets[charge[1]] = spent(budgets[charge[1]] or {})
      names[index] = charge[1]
    end
    row.budgets = cjson.encode(budgets)
  end
  row.charged = #names > 0 and cjson.encode(names) or nil
  if row.error and outdated(row.error_for, claim) then
    row.attempts = 0
  end
  return grant(row, claim)
end

local function decide(row, claim)
  if row.version < claim.seen then
    return {'behind'}
  elseif row.owner == call.owner then
    return grant(row, claim)
  elseif settles(row, claim) then
    return {'newer'}
  elseif row.owner then
    return {'busy', int(row.lease_until - now)}
  end
  return hindrance(row, claim) or lease(row, claim)
end

local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  local decided = decide(row, cjson.decode(ARGV[index - FIRST + 1]))
  put(row)
  answers[#answers + 1] = {record(row), decided}
end
return answer(answers)
