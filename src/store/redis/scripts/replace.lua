-- KEYS value, versions, and of a session: owner's epoch, global epoch
-- ARGV now, version (8 bytes), value up to the version, expiry (8 bytes), value behind the epochs,
--      ttl, seen global, 1: others have to hear of it
local epoch, global = '0', '0'
if KEYS[5] then
    epoch = owner_epoch(KEYS[3])
    global = global_epoch(KEYS[4], ARGV[7])
end
local head = head_of(KEYS[1])
local state = look(head, tonumber(ARGV[1]), epoch, global)
if state == 'odd' then return {64} end
if state ~= 'live' then return {1} end
if string.sub(head, 9, 16) ~= ARGV[2] then return {2} end
-- On a full server a value may still grow a little. What was written once in a script is not
-- refused later on for lack of memory; this write is allowed on a full server.
if #ARGV[5] <= redis.call('STRLEN', KEYS[1]) - HEAD + 16 + 1024 then
    redis.call('PERSIST', KEYS[1])
end
if ARGV[8] == '1' then tell_address(string.sub(ARGV[5], 1, 16), '0') end
local version = next_number(KEYS[2], version_of(head) + 1)
put(KEYS[1], ARGV[3] .. struct.pack('<I8', version) .. ARGV[4] .. string.sub(head, 25, 40) .. ARGV[5], ARGV[6])
return {0, text(version)}
