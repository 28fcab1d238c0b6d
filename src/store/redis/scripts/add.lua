-- INSERT of an account or of meta data.
-- KEYS value, index, versions; ARGV now, value up to the version, value behind it, ttl, address
local state = look(head_of(KEYS[1]), tonumber(ARGV[1]), '0', '0')
if state == 'live' or state == 'odd' then return {4} end
local version = next_number(KEYS[3], 1)
redis.call('ZADD', KEYS[2], 0, ARGV[5])
put(KEYS[1], ARGV[2] .. struct.pack('<I8', version) .. ARGV[3], ARGV[4])
return {0, text(version)}
