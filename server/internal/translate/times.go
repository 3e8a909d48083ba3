package translate

import (
	"strconv"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// moment is a provider's time. The zero moment is that of a callback without
// one.
type moment struct {
	// at is zero when text is not a time that a Timestamp can hold.
	at   time.Time
	text string
}

// momentOf reads the first of the values that has a text.
func momentOf(values ...value) moment {
	text := firstText(values...)
	return moment{parseEpoch(text), text}
}

func (m moment) given() bool { return m.text != "" }

// unparsed is the text of a time that could not be read, cut to what an event
// holds of it.
func (m moment) unparsed() string {
	if m.at.IsZero() {
		return cutText(m.text)
	}
	return ""
}

// parseEpoch reads whole seconds since 1970 in digits, up to the end of the year
// 9999: the range that every protobuf and JSON library can show. Anything else
// is the zero time.
func parseEpoch(text string) time.Time {
	const endOfYear9999 = 253402300799
	seconds, err := strconv.ParseUint(text, 10, 63)
	if err != nil || seconds > endOfYear9999 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// parseDate reads an English date, "October 22, 2025" or "Oct 22, 2025"; nil
// for anything else. NXCloud's phone webhook page shows the first form.
func parseDate(text string) *wabastreamv1.CalendarDate {
	for _, layout := range []string{"January 2, 2006", "Jan 2, 2006"} {
		day, err := time.Parse(layout, text)
		if err == nil && day.Year() > 0 {
			return &wabastreamv1.CalendarDate{
				Year:  int32(day.Year()),
				Month: int32(day.Month()),
				Day:   int32(day.Day()),
			}
		}
	}
	return nil
}
