-- Common to all scripts; put before each of them. The last of KEYS is one that never is: in a
-- cluster it keeps a script from running while its slot is on the move, and some of its keys are
-- here and some there already.
-- A value: "cr", format, space | payload length u32 | version u64 | expires u64 | owner's epoch
-- u64 | global epoch u64 | address (16) | payload; little-endian. See remote/value.h.
local HEAD = 56
local function hex(bytes)
    return (string.gsub(bytes, '.', function(c) return string.format('%02x', string.byte(c)) end))
end
local function text(number)
    return string.format('%.0f', number)
end
-- Never lower than before, also if the counter itself was lost: then the clock is higher.
local function next_number(key, above)
    local time = redis.call('TIME')
    local number = math.max(time[1] * 1000000 + time[2], tonumber(redis.call('GET', key) or '0') + 1, above)
    redis.call('SET', key, text(number))
    return number
end
-- Tell who watches. Before what it tells of: where it is refused, nothing has changed. It is read
-- when the script is at its end. The last arguments of every script are: who asks, the channel,
-- the request's number.
local function tell(message)
    redis.call('PUBLISH', ARGV[#ARGV - 1], message)
end
local function tell_address(address, gone)
    tell('a' .. ARGV[#ARGV - 2] .. address .. gone)
end
-- The global epoch; one that a caller has seen before and is lost here is put back (RV-5).
local function global_epoch(key, seen)
    local now = redis.call('GET', key) or '0'
    if tonumber(now) < tonumber(seen) then
        now = seen
        tell('g' .. struct.pack('<I8', tonumber(now)))
        redis.call('SET', key, now)
    end
    return now
end
-- "epoch raised_ms", in decimal
local function owner_epoch(key)
    local value = redis.call('GET', key)
    if not value then return '0', 0 end
    local epoch, raised = string.match(value, '^(%d+) (%d+)$')
    if not epoch then error('an epoch cannot be read') end
    return epoch, tonumber(raised)
end
-- gone, odd (not to be decoded: denied, kept), dead, live
local function look(head, now, epoch_owner, epoch_global)
    if head == '' or not head then return 'gone' end
    if #head < HEAD or string.sub(head, 1, 3) ~= 'cr\1' then return 'odd' end
    local expires, owner, global = struct.unpack('<I8I8I8', head, 17)
    if (expires ~= 0 and expires <= now) or owner < tonumber(epoch_owner) or
        global < tonumber(epoch_global) then
        return 'dead'
    end
    return 'live'
end
local function head_of(key)
    return redis.call('GETRANGE', key, 0, HEAD - 1)
end
local function version_of(head)
    return (struct.unpack('<I8', head, 9))
end
local function put(key, value, ttl)
    if tonumber(ttl) > 0 then
        redis.call('SET', key, value, 'PX', ttl)
    else
        redis.call('SET', key, value)
    end
end
