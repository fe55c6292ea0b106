#pragma once
#include <string>

namespace hecate::launcher {

/// Where a command's text goes: to `file`, or to standard output if it is empty. @throws IoError.
void write_answer(const std::string& text, const std::string& file);

}  // namespace hecate::launcher
