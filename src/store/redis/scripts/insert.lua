-- KEYS session, owner's index, owner's epoch, index, global epoch, versions
-- ARGV now, epoch_owner, epoch_global, seen global, value up to the version, value behind it, ttl,
--      owner_max, evict, address, superseded serial or '', its version (8 bytes) or '', stem
local now, address, stem, superseded = tonumber(ARGV[1]), ARGV[10], ARGV[13], ARGV[11]
local serial, owner = string.sub(address, 1, 8), string.sub(address, 9)
local global = global_epoch(KEYS[5], ARGV[4])
local epoch = owner_epoch(KEYS[3])
local function state_of(serial)
    local head = head_of(stem .. hex(serial))
    return look(head, now, epoch, global), head
end
local function erase(serial)
    redis.call('UNLINK', stem .. hex(serial))
    redis.call('ZREM', KEYS[2], serial)
    redis.call('ZREM', KEYS[4], serial .. owner)
end
local state = state_of(serial)
if state == 'live' or state == 'odd' then return {4} end
if epoch ~= ARGV[2] or global ~= ARGV[3] then return {5} end
if superseded ~= '' then
    local old, head = state_of(superseded)
    if old == 'odd' then return {64} end
    if old ~= 'live' then return {1} end
    if ARGV[12] ~= '' and ARGV[12] ~= string.sub(head, 9, 16) then return {2} end
end
-- The first write: on a full server it fails, before anything has changed.
local version = next_number(KEYS[6], 1)
local crowd, surplus, erased, most = {}, 0, 0, tonumber(ARGV[8])
if most > 0 then
    for _, other in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '-', '+')) do
        state = state_of(other)
        if state == 'live' and other ~= superseded then
            crowd[#crowd + 1] = other
        elseif (state == 'dead' or state == 'gone') and erased < 256 then
            erased = erased + 1
            erase(other)
        end
    end
    surplus = math.max(#crowd - most + 1, 0)
    if surplus > 0 and ARGV[9] ~= '1' then return {6} end
end
-- Not before it is certain: who hears that it is gone ends it where it finds it.
if superseded ~= '' then tell_address(superseded .. owner, '1') end
redis.call('ZADD', KEYS[2], 0, serial)
redis.call('ZADD', KEYS[4], 0, address)
put(KEYS[1], ARGV[5] .. struct.pack('<I8', version) .. ARGV[6], ARGV[7])
if superseded ~= '' then erase(superseded) end
local answer = {0, text(version)}
for i = 1, surplus do
    tell_address(crowd[i] .. owner, '1')
    erase(crowd[i])
    answer[i + 2] = crowd[i]
end
return answer
