-- leave: a member that goes in good order says so itself.
local me, refusal = speaker(c)
if not me then return {refusal, c.now} end
call('HSET', c.base .. Key.MEMBER .. c.id, Member.STATE, Member.DEAD, Member.READY, 0, Member.LEASE, 0)
new_view(c)
return {'OK', c.now}
