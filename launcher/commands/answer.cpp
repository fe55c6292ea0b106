#include "launcher/commands/answer.h"

#include <iostream>

#include "runtime/io/file.h"

namespace hecate::launcher {

void write_answer(const std::string& text, const std::string& file) {
  if (file.empty())
    std::cout << text << std::flush;
  else
    io::write_file(file, text);
}

}  // namespace hecate::launcher
