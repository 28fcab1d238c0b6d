-- KEYS index, global epoch
-- ARGV now, seen global, space (s, a, m), prefix, address to begin behind or '', limit, bytes at most,
--      entries to look at
local now, space, prefix = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local limit, bytes = tonumber(ARGV[6]), 0
local from = ARGV[5] == '' and '-' or '(' .. ARGV[5]
local global, epochs = global_epoch(KEYS[2], ARGV[2]), {}
local addresses = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[8])
-- 1: there would be more; 2: go on behind the address that follows
local answer = {0, 0, ''}
for _, address in ipairs(addresses) do
    local value, state
    if space == 's' then
        local owner = hex(string.sub(address, 9))
        epochs[owner] = epochs[owner] or owner_epoch(prefix .. '{' .. owner .. '}:e')
        value = redis.call('GET', prefix .. '{' .. owner .. '}:s:' .. hex(string.sub(address, 1, 8)))
        state = look(value, now, epochs[owner], global)
    else
        value = redis.call('GET', prefix .. '{' .. hex(address) .. '}:' .. space)
        state = look(value, now, '0', '0')
    end
    if state == 'live' then
        if #answer == 2 * limit + 3 or bytes > tonumber(ARGV[7]) then
            answer[2] = 1
            return answer
        end
        bytes = bytes + #value
        answer[#answer + 1] = address
        answer[#answer + 1] = value
    end
end
if #addresses == tonumber(ARGV[8]) then
    answer[2], answer[3] = 2, addresses[#addresses]
end
return answer
