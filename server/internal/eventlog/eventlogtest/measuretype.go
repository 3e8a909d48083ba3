package eventlogtest

import (
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func measureTypeTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"measure_type":         measureType,
		"measure_type_trimmed": measureTypeTrimmed,
		"measure_type_empty":   measureTypeEmpty,
	}
}

func (b *bench) measure(path string, after eventlog.Sequence, limit uint64) eventlog.Measure {
	b.Helper()
	got, err := b.log.MeasureType(b.Context(), path, after, limit)
	require.NoError(b, err)
	return got
}

// checkMeasure compares with records, each of which takes its payload and raw and
// at most so much more.
func (b *bench) checkMeasure(want []eventlog.Record, got eventlog.Measure) {
	b.Helper()
	const more = 512
	bytes := uint64(0)
	for _, r := range want {
		bytes += uint64(len(r.Payload) + len(r.Raw))
	}
	require.Equal(b, uint64(len(want)), got.Records)
	require.GreaterOrEqual(b, got.Bytes, bytes)
	require.LessOrEqual(b, got.Bytes, bytes+more*got.Records)
}

// sized are mixed records of growing size.
func sized(n int) []eventlog.Record {
	all := mixed(0, n)
	for i := range all {
		all[i].Payload = append(all[i].Payload, make([]byte, 100*i)...)
	}
	return all
}

func selected(all []eventlog.Record, path string) []eventlog.Record {
	var some []eventlog.Record
	m := ofTypes(path)
	for _, r := range all {
		if m.Match(&r.Header) {
			some = append(some, r)
		}
	}
	return some
}

// measureType measures records that were written before and after the log was
// opened: backends may find the two in different ways.
func measureType(b *bench) {
	all := sized(40)
	at := b.fill(all[:30]...)
	b.reopen()
	at = append(at, b.fill(all[30:]...)...)
	for range 2 {
		for _, path := range []string{"messages", "messages.text", "bans", "message", "calls"} {
			for _, after := range []int{0, 7, 33, 39} {
				got := b.measure(path, at[after].Sequence, 0)
				b.checkMeasure(selected(all[after+1:], path), got)
				require.Equal(b, at[39].Sequence, got.UpTo, "all was looked at")
			}
			b.measureInSteps(path, all, at)
		}
		b.reopen()
	}
}

// measureInSteps takes one record after the other: a limit of one byte is reached
// by the first.
func (b *bench) measureInSteps(path string, all []eventlog.Record, at []eventlog.Position) {
	b.Helper()
	total, sum := b.measure(path, 0, 0), eventlog.Measure{}
	m := ofTypes(path)
	for n := range all {
		if !m.Match(&all[n].Header) {
			continue
		}
		got := b.measure(path, sum.UpTo, 1)
		b.checkMeasure(all[n:n+1], got)
		require.Equal(b, at[n].Sequence, got.UpTo, "no further than the record that was enough")
		sum = eventlog.Measure{UpTo: got.UpTo, Records: sum.Records + 1, Bytes: sum.Bytes + got.Bytes}
		require.Equal(b, sum, b.measure(path, 0, sum.Bytes))
		require.Equal(b, sum, b.measure(path, 0, sum.Bytes-got.Bytes+1), "at least")
	}
	sum.UpTo = at[len(at)-1].Sequence
	require.Equal(b, sum, total)
	require.Equal(b, sum, b.measure(path, 0, total.Bytes+1))
}

func measureTypeTrimmed(b *bench) {
	all := sized(40)
	at := b.fill(all...)
	b.trimType("messages.text", at[20])
	require.NoError(b, b.log.Trim(b.Context(), at[9].Sequence))
	for range 2 {
		left := selected(all[10:], "messages.image")
		left = append(left, selected(all[21:], "messages.text")...)
		for _, after := range []eventlog.Sequence{0, at[3].Sequence, at[9].Sequence} {
			b.checkMeasure(left, b.measure("messages", after, 0))
			b.checkMeasure(selected(all[21:], "messages.text"), b.measure("messages.text", after, 0))
			b.checkMeasure(selected(all[10:], "bans"), b.measure("bans", after, 0))
		}
		b.reopen()
	}
}

func measureTypeEmpty(b *bench) {
	require.Equal(b, eventlog.Measure{}, b.measure("messages", 0, 0))
	at := b.fill(records(0, 3)...)
	require.Equal(b, eventlog.Measure{UpTo: at[2].Sequence}, b.measure("messages", at[2].Sequence, 0))
}
