-- KEYS value, index, and of a session: owner's index; ARGV address
if KEYS[4] and redis.call('EXISTS', KEYS[1]) == 1 then tell_address(ARGV[1], '1') end
redis.call('UNLINK', KEYS[1])
if KEYS[4] then redis.call('ZREM', KEYS[3], string.sub(ARGV[1], 1, 8)) end
redis.call('ZREM', KEYS[2], ARGV[1])
return {0}
