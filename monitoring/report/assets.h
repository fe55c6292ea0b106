#pragma once
#include <string_view>

/// The files of this folder that the page is made of; put into the program by the build.
namespace hecate::monitoring::assets {

extern const std::string_view kTemplate;  ///< template.html
extern const std::string_view kStyle;     ///< report.css
extern const std::string_view kScript;    ///< the .js files, in the order of CMakeLists.txt

}  // namespace hecate::monitoring::assets
