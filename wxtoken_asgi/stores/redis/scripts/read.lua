local answers = {}
for index = FIRST + 1, #KEYS do
  local row = look(KEYS[index])
  put(row)
  answers[#answers + 1] = record(row)
end
return answer(answers)
