-- KEYS global epoch, epochs
-- ARGV seen global, 0 or the epoch that this was given before: then it is said again; the highest
--      epoch that the caller has seen given out
-- The first write is one that a full server allows, and with it those that follow.
redis.call('UNLINK', KEYS[#KEYS])
local now, given = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[2])
if given > 0 and now >= given then return {0, text(now)} end
local epoch = next_number(KEYS[2], math.max(now, tonumber(ARGV[1]), given, tonumber(ARGV[3])) + 1)
if given > 0 then epoch = given end
tell('g' .. struct.pack('<I8', epoch))
redis.call('SET', KEYS[1], text(epoch))
return {0, text(epoch)}
