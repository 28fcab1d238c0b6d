-- KEYS global epoch, epochs, a key that never is; ARGV seen global
-- The first write is one that a full server allows, and with it those that follow.
redis.call('UNLINK', KEYS[3])
local before = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1]))
local epoch = next_number(KEYS[2], before + 1)
redis.call('SET', KEYS[1], text(epoch))
return {0, text(epoch)}
