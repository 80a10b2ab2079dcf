-- leave: a member that goes in good order says so itself.
local me, refusal = speaker()
if not me then return {refusal, NOW} end
call('HSET', BASE .. 'i:' .. ID, 'state', 'd', 'ready', 0, 'lease', 0)
new_view()
return {'OK', NOW}
