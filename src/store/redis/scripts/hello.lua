-- The first command on a connection: the format of what is kept. KEYS format, global epoch;
-- ARGV our format, seen global
local format = redis.call('GET', KEYS[1])
if not format then
    format = ARGV[1]
    redis.call('SET', KEYS[1], format)
end
-- Without this right no change could be told of, so none would be made.
tell('')
return {0, format, global_epoch(KEYS[2], ARGV[2])}
