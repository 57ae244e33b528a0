-- Rolling 24-hour counts in hourly buckets: `wxtoken_asgi.stores.ledger`.
local HOUR = 3600 * SECOND
local WINDOW = 24

local function hour_now()
  return math.floor(now / HOUR)
end

local function room_in(buckets, limit)
  local first = hour_now() - WINDOW
  local hours, used = {}, 0
  for hour, count in pairs(buckets) do
    if tonumber(hour) >= first then
      hours[#hours + 1] = tonumber(hour)
      used = used + count
    end
  end
  local over = used + 1 - limit
  if over <= 0 then
    return 0
  end
  table.sort(hours)
  for _, hour in ipairs(hours) do
    over = over - buckets[int(hour)]
    if over <= 0 then
      return (hour + WINDOW + 1) * HOUR - now
    end
  end
  return (WINDOW + 1) * HOUR
end

-- What counts now, and when less of it will: 0, 0 if nothing does.
local function usage(buckets)
  local first = hour_now() - WINDOW
  local used, oldest = 0, nil
  for hour, count in pairs(buckets) do
    hour = tonumber(hour)
    if hour >= first then
      used = used + count
      oldest = math.min(oldest or hour, hour)
    end
  end
  return used, oldest and (oldest + WINDOW + 1) * HOUR - now or 0
end

local function spent(buckets, count)
  local this = hour_now()
  local kept = {}
  for hour, number in pairs(buckets) do
    if tonumber(hour) >= this - WINDOW then
      kept[hour] = number
    end
  end
  kept[int(this)] = (kept[int(this)] or 0) + (count or 1)
  return kept
end

local function refunded(buckets)
  local latest = nil
  for hour in pairs(buckets) do
    if not latest or tonumber(hour) > tonumber(latest) then
      latest = hour
    end
  end
  buckets[latest] = buckets[latest] > 1 and buckets[latest] - 1 or nil
  return buckets
end
