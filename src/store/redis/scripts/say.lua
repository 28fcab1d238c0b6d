-- A message. KEYS register, versions
-- ARGV who says it (16 bytes) and what, where to or '', 1: report the register, instances at most
local from = string.sub(ARGV[1], 1, 16)
local before = redis.call('HGET', KEYS[1], from)
if not before and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return {6} end
-- The first write is one that a full server allows, and with it those that follow.
redis.call('UNLINK', KEYS[#KEYS])
local version = next_number(KEYS[2], tonumber(before or '0') + 1)
redis.call('HSET', KEYS[1], from, text(version))
redis.call('PUBLISH', ARGV[2] ~= '' and ARGV[2] or ARGV[#ARGV - 1], 's' .. ARGV[1])
local answer = {0, text(version)}
if ARGV[3] == '1' then
    for _, member in ipairs(redis.call('HGETALL', KEYS[1])) do answer[#answer + 1] = member end
end
return answer
