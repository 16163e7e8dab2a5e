package image

// ContentRangeForTest reads a Content-Range.
func ContentRangeForTest(text string) (first, last, total int64, ok bool) {
	s, ok := contentRange(text)
	return s.first, s.last, s.total, ok
}
