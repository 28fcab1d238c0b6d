-- A message. KEYS register, versions
-- ARGV who says it (16 bytes) and what, where to or '', 1: report the register, instances at most;
--      of a cluster: what that is taken to be (8 bytes), and the version that the register's node
--      has given it, '' there
local from, what, shape = string.sub(ARGV[1], 1, 16), string.sub(ARGV[1], 17), nil
if #ARGV > 7 then shape = ARGV[5] end
local version = shape and tonumber(ARGV[6])
local enters = not version
local before = enters and redis.call('HGET', KEYS[1], from)
if enters and not before and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return {6} end
-- The first write is one that a full server allows, and with it those that follow.
redis.call('UNLINK', KEYS[#KEYS])
if enters then
    version = next_number(KEYS[2], tonumber(before or '0') + 1)
    redis.call('HSET', KEYS[1], from, text(version))
end
local message = 's' .. ARGV[1]
if shape then message = 'p' .. from .. struct.pack('<I8', version) .. shape .. what end
redis.call('PUBLISH', ARGV[2] ~= '' and ARGV[2] or ARGV[#ARGV - 1], message)
local answer = {0, text(version)}
if enters and ARGV[3] == '1' then
    for _, member in ipairs(redis.call('HGETALL', KEYS[1])) do answer[#answer + 1] = member end
end
return answer
