-- KEYS owner's index, owner's epoch, global epoch
-- ARGV now, seen global, stem, serial to begin behind or '', limit, bytes at most, entries to look at
-- Answers whether there would be more, and behind which serial if that is not the last reported.
local now, limit, bytes = tonumber(ARGV[1]), tonumber(ARGV[5]), 0
local from = ARGV[4] == '' and '-' or '(' .. ARGV[4]
local epoch, global = owner_epoch(KEYS[2]), global_epoch(KEYS[3], ARGV[2])
local answer = {0, 0, ''}
local serials = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[7])
for _, serial in ipairs(serials) do
    local value = redis.call('GET', ARGV[3] .. hex(serial))
    if look(value, now, epoch, global) == 'live' then
        if #answer == 2 * limit + 3 or bytes > tonumber(ARGV[6]) then
            answer[2] = 1
            return answer
        end
        bytes = bytes + #value
        answer[#answer + 1] = serial
        answer[#answer + 1] = value
    end
end
if #serials == tonumber(ARGV[7]) then
    answer[2], answer[3] = 1, serials[#serials]
end
return answer
