-- forward: a device's answer goes to the member that waits for it. ARGV[11..]: member, text. Answers how many heard it.
return {'OK', 0, NOW, tell(ARGV[11], ARGV[12])}
