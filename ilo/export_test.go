package ilo

// Parse reads an answer for fuzz tests.
func Parse(data []byte) (status int, err error) {
	a, err := parseAnswer(data)
	if err != nil {
		return 0, err
	}
	return a.status, nil
}

// Marshal writes a read command with a value, as a client does.
func Marshal(value, password string) []byte {
	return command{group: "RIB_INFO", name: "X", attrs: []attr{{"IMAGE_URL", value}}}.marshal("u", password)
}
