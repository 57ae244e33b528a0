for index = FIRST + 1, #KEYS do
  if forget(KEYS[index]) then
    wrote = true
    tell(KEYS[index])
  end
end
return answer({})
