-- KEYS owner's index, owner's epoch, index of epochs, epochs, global epoch
-- ARGV now, owner (8 bytes), seen global, spared serial or '', stem, 0 or the epoch that this was
--      given before: then it is said again, to a server that may have forgotten it; the highest
--      epoch that the caller has seen given out
local spare, key, value, state = ARGV[4], ARGV[5] .. hex(ARGV[4]), nil, 'gone'
local global = redis.call('GET', KEYS[5]) or '0'
if tonumber(global) < tonumber(ARGV[3]) then global = ARGV[3] end
local before, given = owner_epoch(KEYS[2]), tonumber(ARGV[6])
if given > 0 and tonumber(before) >= given then return {0, before} end
if spare ~= '' then
    value = redis.call('GET', key)
    state = look(value, tonumber(ARGV[1]), before, global)
end
-- The first write is one that a full server allows, and with it those that follow.
redis.call('PERSIST', KEYS[2])
local epoch = next_number(KEYS[4], math.max(tonumber(before), tonumber(global), given, tonumber(ARGV[7])) + 1)
if given > 0 then epoch = given end
tell('o' .. ARGV[2] .. struct.pack('<I8', epoch) .. spare)
-- All that is listed has ended: the list goes as a whole, whatever its length.
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], text(epoch) .. ' ' .. ARGV[1])
redis.call('ZADD', KEYS[3], 0, ARGV[2])
if state == 'live' then
    redis.call('SET', key, string.sub(value, 1, 24) .. struct.pack('<I8', epoch) .. string.sub(value, 33), 'KEEPTTL')
    redis.call('ZADD', KEYS[1], 0, spare)
end
return {0, text(epoch)}
