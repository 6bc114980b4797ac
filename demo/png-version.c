/* Linked to the graph's own libpng and zlib: compresses and restores a few pixels, and says which libpng did it. */
#include <png.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    const png_byte pixels[4] = {0, 85, 170, 255};
    png_byte file[1024], restored[4] = {0};
    png_alloc_size_t size = sizeof file;
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 2, .height = 2, .format = PNG_FORMAT_GRAY};

    if (!png_image_write_to_memory(&image, file, &size, 0, pixels, 0, NULL)) return 1;

    png_image again = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&again, file, size)) return 1;
    again.format = PNG_FORMAT_GRAY;
    if (!png_image_finish_read(&again, NULL, restored, 0, NULL)) return 1;
    if (memcmp(pixels, restored, sizeof pixels) != 0) return 1;

    printf("libpng %s works\n", png_get_libpng_ver(NULL));
    return 0;
}
