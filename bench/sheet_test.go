package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindingKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	s := &sheet{}
	mid, most := s.find("mid", "ms").atMost(3, theMedian), s.find("most", "MiB").atMost(3, theGreatest)
	mid.add(1, 2, 100)
	most.add(1, 2, 100)
	require.Equal(t, "yes", mid.reached())
	require.Equal(t, "no", most.reached())
	require.Empty(t, s.find("free", "ms").reached())
	require.Equal(t, "no", s.find("unmeasured", "ms").atMost(3, theMedian).reached())
	require.Equal(t, "no", s.find("unmeasured", "ms").atMost(3, theGreatest).reached())
}

func TestSheetText(t *testing.T) {
	t.Parallel()
	s := &sheet{title: "title"}
	s.find("reading", "ms").atMost(3, theMedian).add(1, 2, 4)
	s.find("disk", "bytes").add(800)
	var text strings.Builder
	require.NoError(t, s.write(&text))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Equal(t, "title", lines[0])
	require.Equal(t, []string{"unit", "n", "p50", "p99", "min", "max", "limit", "reached"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"reading", "ms", "3", "2.00", "4.00", "1.00", "4.00", "p50", "≤", "3.00", "yes"}, strings.Fields(lines[2]))
	require.Equal(t, []string{"disk", "bytes", "1", "800", "800", "800", "800"}, strings.Fields(lines[3]))
}

func TestSheetJSON(t *testing.T) {
	t.Parallel()
	s := &sheet{title: "title"}
	s.find("reading", "ms").atMost(3, theMedian).add(1, 2, 4)
	s.find("unmeasured", "ms")
	b, err := json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, `{"title":"title","rows":[
		{"name":"reading","unit":"ms","median":2,"p99":4,"limit":"p50 ≤ 3.00","reached":"yes","values":[1,2,4]},
		{"name":"unmeasured","unit":"ms","median":null,"p99":null,"values":null}]}`, string(b))
}
