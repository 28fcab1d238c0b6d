-- Is there really nothing? The answer to LOAD that says so names no address, this one says for
-- which request it is. KEYS value
return {0, redis.call('TYPE', KEYS[1]).ok}
