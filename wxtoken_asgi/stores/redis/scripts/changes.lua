local function since()
  if not call.cursor then
    return {}
  end
  local epoch, seq = call.cursor[1], call.cursor[2]
  if epoch ~= meta.epoch or seq > meta.seq or seq < meta.floor then
    return false
  end
  local names = redis.call('ZRANGEBYSCORE', NEWS, '(' .. int(seq), '+inf', 'LIMIT', 0, call.most + 1)
  return #names <= call.most and names
end

return answer({since(), meta.mute == '1' and 1 or 0})
