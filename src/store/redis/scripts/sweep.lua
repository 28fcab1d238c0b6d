-- KEYS index to walk, global epoch, index of sessions, index of accounts
-- ARGV now, seen global, what (s, a, m, e), prefix, address to begin behind or '', limit,
--      entries to look at, epochs settled
local now, what, prefix = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local from = ARGV[5] == '' and '-' or '(' .. ARGV[5]
local limit, looked, count, odd, last = tonumber(ARGV[6]), 0, 0, 0, ARGV[5]
-- A write, though of nothing: a server that has become a replica refuses it.
redis.call('UNLINK', KEYS[#KEYS])
local global = global_epoch(KEYS[2], ARGV[2])
local function visit_session(address)
    local serial, tag = string.sub(address, 1, 8), prefix .. '{' .. hex(string.sub(address, 9)) .. '}:'
    local key = tag .. 's:' .. hex(serial)
    local state = look(head_of(key), now, owner_epoch(tag .. 'e'), global)
    if state == 'dead' or state == 'gone' then
        redis.call('UNLINK', key)
        redis.call('ZREM', tag .. 'i', serial)
        return true
    end
    if state == 'odd' then odd = odd + 1 end
end
local function visit_plain(address)
    local key = prefix .. '{' .. hex(address) .. '}:' .. what
    local state = look(head_of(key), now, '0', '0')
    if state == 'dead' or state == 'gone' then
        redis.call('UNLINK', key)
        return true
    end
end
local function visit_epoch(owner)
    local key = prefix .. '{' .. hex(owner) .. '}:e'
    local epoch, raised = owner_epoch(key)
    if tonumber(epoch) <= tonumber(ARGV[8]) and now - raised >= 24 * 3600 * 1000 then
        redis.call('UNLINK', key)
        return true
    end
end
local visit = what == 's' and visit_session or what == 'e' and visit_epoch or visit_plain
local found = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[7])
for _, address in ipairs(found) do
    if count == limit then break end
    looked = looked + 1
    last = address
    if visit(address) then
        redis.call('ZREM', KEYS[1], address)
        count = count + 1
    end
end
local done = (looked == #found and #found < tonumber(ARGV[7])) and 1 or 0
return {0, count, looked, done, last, odd, redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]),
        redis.call('GET', prefix .. 'epochs') or '0'}
