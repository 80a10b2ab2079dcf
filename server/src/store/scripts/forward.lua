-- forward: a device's answer goes to the member that waits for it. Answers how many heard it.
local refusal = speak(c)
if refusal then return refusal end
return {'OK', 0, c.now, tell(c, member, datagram)}
