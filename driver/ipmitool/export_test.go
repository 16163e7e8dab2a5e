package ipmitool

var (
	ParseBytes   = parseBytes
	ParseSensors = parseSensors
	Completion   = completion
)
