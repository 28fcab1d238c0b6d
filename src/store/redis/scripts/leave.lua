-- KEYS register; ARGV instance, its version or ''
local version = redis.call('HGET', KEYS[1], ARGV[1])
if version and ARGV[2] ~= '' and version ~= ARGV[2] then return {2} end
redis.call('HDEL', KEYS[1], ARGV[1])
return {0}
