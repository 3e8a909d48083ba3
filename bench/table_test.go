package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func twoRows(less bool) *table {
	t := newTable("title", "unit", "limit", []string{"limit", ours})
	t.less = less
	for _, v := range []float64{10, 30, 20} {
		t.add("limit", v)
		t.add(ours, v/2)
	}
	return t
}

func TestRatiosSayHowManyTimesBetter(t *testing.T) {
	t.Parallel()
	more, less := twoRows(false), twoRows(true)
	require.InDelta(t, 0.5, more.ratio(more.row(ours), more.row("limit")), 1e-9)
	require.InDelta(t, 2, less.ratio(less.row(ours), less.row("limit")), 1e-9)
}

func TestTableText(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	require.NoError(t, twoRows(false).write(&text))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, "title (unit)", lines[0])
	require.Equal(t, []string{"limit", "20.0", "10.0", "30.0", "1.00", "0.50"}, strings.Fields(lines[2]))
	require.Equal(t, []string{ours, "10.0", "5.00", "15.0", "0.50", "1.00"}, strings.Fields(lines[3]))
}

func TestTableTextOfTimes(t *testing.T) {
	t.Parallel()
	times := twoRows(true)
	times.rows[0].cpu = []float64{7}
	var text strings.Builder
	require.NoError(t, times.write(&text))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Contains(t, lines[1], "CPU µs each")
	require.Contains(t, lines[1], "limit ÷ it")
	require.Equal(t, []string{"limit", "20.0", "10.0", "30.0", "7.00", "1.00", "2.00"}, strings.Fields(lines[2]))
	require.Equal(t, []string{ours, "10.0", "5.00", "15.0", "-", "2.00", "1.00"}, strings.Fields(lines[3]))
}

// A contender that --only left out must not end up as a ratio.
func TestTableWithoutItsReference(t *testing.T) {
	t.Parallel()
	alone := newTable("title", "unit", "limit", []string{ours})
	alone.add(ours, 1)
	var text strings.Builder
	require.NoError(t, alone.write(&text))
	require.Contains(t, text.String(), "-")
	b, err := json.Marshal(alone)
	require.NoError(t, err)
	require.NotContains(t, string(b), "ratio_to_reference")
	require.Contains(t, string(b), `"ratio_of_subject_to_this":1`)
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for value, want := range map[float64]string{0.00123: "0.0012", 0.123: "0.12", 1.5: "1.50", 12.34: "12.3", 123.4: "123", 45678.9: "45679"} {
		require.Equal(t, want, figure(value))
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s, err := parse([]string{"log", "--quick", "--rounds", "3"}, &strings.Builder{})
	require.NoError(t, err)
	soak := soakSettings{minutes: 10, share: 0.5, retentionBytes: 1 << 30, horizon: 2 * time.Minute, subscriberCount: 2}
	require.Equal(t, settings{benchmark: "log", quick: true, rounds: 3, events: 200_000, wabas: 10_000, dir: ".", soakSettings: soak}, s)
	for _, c := range []struct {
		args []string
		want uint64
	}{{nil, 2_000_000}, {[]string{"scale"}, 5_000_000}, {[]string{"scale", "--quick"}, 200_000}, {[]string{"--events", "10000"}, 10_000}} {
		s, err = parse(c.args, &strings.Builder{})
		require.NoError(t, err)
		require.Equal(t, c.want, s.events, c.args)
	}
	for _, wrong := range [][]string{
		{"--rounds", "0"}, {"--events", "1"}, {"--wabas", "999"}, {"log", "ingest"}, {"--no-such"},
		{"--minutes", "0"}, {"--minutes", "NaN"}, {"--share", "0"}, {"--share", "1.1"}, {"--share", "NaN"}, {"--subscribers", "0"},
	} {
		_, err := parse(wrong, &strings.Builder{})
		require.Error(t, err, wrong)
	}
}

func TestChosenBenchmarks(t *testing.T) {
	t.Parallel()
	chosen := func(name string) []string {
		b := &bench{settings: settings{benchmark: name}}
		benchmarks, err := b.chosen()
		require.NoError(t, err)
		var names []string
		for _, bm := range benchmarks {
			names = append(names, bm.name)
		}
		return names
	}
	require.Equal(t, []string{"log", "ingest", "replay", "open"}, chosen(""))
	for _, name := range []string{"log", "scale", "soak", "fanout", "matching"} {
		require.Equal(t, []string{name}, chosen(name))
	}
	_, err := (&bench{settings: settings{benchmark: "none"}}).chosen()
	require.Error(t, err)
}

// What a log on JetStream is beside others has its own goals: none.
func TestTableOfReplica(t *testing.T) {
	t.Parallel()
	whole := newTable("title", "unit", noOp, []string{noOp, ours, frontOn + oursOnJetStream, frontOn + jetStreamSync}).
		wants(map[string]goal{frontOn + jetStreamSync: {1, 2}}).atMost(1)
	for i, r := range whole.rows {
		whole.add(r.name, []float64{8, 4, 2, 1}[i])
	}
	require.Len(t, (&bench{}).withReplica(whole, frontOn+oursOnJetStream), 2)
	results := (&bench{settings: settings{replica: true}}).withReplica(whole, frontOn+oursOnJetStream)
	require.Len(t, results, 1)
	require.True(t, whole.hasGoals())
	var text strings.Builder
	require.NoError(t, results[0].write(&text))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Len(t, lines, 5)
	require.Equal(t, []string{"0.50", "1.00"}, lastFields(lines[3], 2))
	require.Equal(t, []string{"0.25", "2.00"}, lastFields(lines[4], 2))
	require.NotContains(t, text.String(), "reached")
	whole.rows = whole.rows[:2]
	require.Equal(t, []result{whole}, (&bench{}).withReplica(whole, frontOn+oursOnJetStream))
}
