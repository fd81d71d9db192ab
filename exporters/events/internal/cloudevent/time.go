package cloudevent

// ParseTime reads an RFC 3339 time as milliseconds since 1970, at less than half the cost of time.Parse
// (BenchmarkParseTime). A leap second is the second after it.
func ParseTime(b []byte) (ms int64, ok bool) {
	if len(b) < 20 || b[4] != '-' || b[7] != '-' || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	year, ok1 := digits2(b[0:])
	year2, ok2 := digits2(b[2:])
	month, ok3 := digits2(b[5:])
	day, ok4 := digits2(b[8:])
	hour, ok5 := digits2(b[11:])
	minute, ok6 := digits2(b[14:])
	second, ok7 := digits2(b[17:])
	year = year*100 + year2
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) ||
		month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	ms = (daysSince1970(year, month, day)*86400 + hour*3600 + minute*60 + second) * 1000
	i := 19
	if b[i] == '.' {
		unit := int64(100)
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			ms += int64(b[i]-'0') * unit
			unit /= 10
		}
		if i == 20 {
			return 0, false
		}
	}
	switch zone := b[i:]; {
	case len(zone) == 1 && zone[0]|0x20 == 'z':
		return ms, true
	case len(zone) == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':':
		h, ok1 := digits2(zone[1:])
		m, ok2 := digits2(zone[4:])
		if !ok1 || !ok2 || h > 23 || m > 59 {
			return 0, false
		}
		if zone[0] == '+' {
			h, m = -h, -m
		}
		return ms + (h*60+m)*60_000, true
	}
	return 0, false
}

func digits2(b []byte) (int64, bool) {
	x, y := b[0]-'0', b[1]-'0'
	return int64(x)*10 + int64(y), x <= 9 && y <= 9
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts days of the Gregorian calendar, in years that begin in March, so that the leap day is the last.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}
