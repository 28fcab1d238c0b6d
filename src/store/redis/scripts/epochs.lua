-- KEYS owner's epoch, global epoch; ARGV seen global
local epoch = owner_epoch(KEYS[1])
return {0, epoch, global_epoch(KEYS[2], ARGV[1])}
