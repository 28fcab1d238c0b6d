-- The answer to a plain LOAD does not say to which request it belongs, but for the address in the
-- record. One that says there is none, or has another's address, is asked for again with this.
-- KEYS value, and of a session: owner's epoch, global epoch
local answer = {0}
for i = 1, #KEYS - 1 do
    local key = KEYS[i]
    local type = redis.call('TYPE', key).ok
    answer[i + 1] = type == 'string' and redis.call('GET', key) or type ~= 'none' and '?'
end
return answer
