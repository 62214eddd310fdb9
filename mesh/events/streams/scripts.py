"""What Valkey does in one step."""

from __future__ import annotations

LOST = "LOSTMEMORY"
"""How the answer of PUBLISH begins when the bus is not the one that the publisher knows."""

# Appends nothing to a bus that was emptied since: what it has lost must come before. KEYS: the bus's mark, the stream,
# then the mark of each record. ARGV: the bus's mark as the publisher knows it, retention and memory of marks in ms,
# then key, id and value of each record.
PUBLISH = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('{LOST} the bus was emptied')
end
local time = redis.call('TIME')
local oldest = math.max(0, time[1] * 1000 - tonumber(ARGV[2]))
for number = 3, #KEYS do
  if redis.call('SET', KEYS[number], '', 'NX', 'PX', ARGV[3]) then
    local first = 4 + (number - 3) * 3
    redis.call('XADD', KEYS[2], 'MINID', '~', string.format('%.0f', oldest), '*',
      'key', ARGV[first], 'id', ARGV[first + 1], 'value', ARGV[first + 2])
  end
end
"""

# Says that a member lives and gives the partitions it reads: its fair share, taken only from those that nobody reads.
# KEYS: members, owners. ARGV: member, time to live in ms, number of partitions.
REBALANCE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
local fair = math.ceil(count / redis.call('ZCARD', KEYS[1]))
local mine, free = {}, {}
for partition = 0, count - 1 do
  local owner = redis.call('HGET', KEYS[2], partition)
  if owner == ARGV[1] then
    table.insert(mine, partition)
  elseif not owner or not redis.call('ZSCORE', KEYS[1], owner) then
    table.insert(free, partition)
  end
end
while #mine > fair do
  redis.call('HDEL', KEYS[2], table.remove(mine))
end
while #mine < fair and #free > 0 do
  local partition = table.remove(free, 1)
  redis.call('HSET', KEYS[2], partition, ARGV[1])
  table.insert(mine, partition)
end
return mine
"""

# KEYS: members, owners. ARGV: member, number of partitions.
LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
for partition = 0, tonumber(ARGV[2]) - 1 do
  if redis.call('HGET', KEYS[2], partition) == ARGV[1] then
    redis.call('HDEL', KEYS[2], partition)
  end
end
"""
