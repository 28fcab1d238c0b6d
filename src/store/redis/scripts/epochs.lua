-- KEYS owner's epoch, global epoch; ARGV seen global
local epoch = owner_epoch(KEYS[1])
local time = redis.call('TIME')
return {0, epoch, global_epoch(KEYS[2], ARGV[1]), text(time[1] * 1000 + math.floor(time[2] / 1000))}
