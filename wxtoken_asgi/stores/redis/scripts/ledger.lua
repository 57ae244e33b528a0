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

local function spent(buckets)
  local this = hour_now()
  local kept = {}
  for hour, count in pairs(buckets) do
    if tonumber(hour) >= this - WINDOW then
      kept[hour] = count
    end
  end
  kept[int(this)] = (kept[int(this)] or 0) + 1
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
