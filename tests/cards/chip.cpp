// Cards for a machine that has none: CUDA tensors lie in host memory, and the CPU computes for them.
//
// What a card would refuse is refused: tensors of two devices in one operation, and more memory than it has. With
// `dry` nothing of floating type is computed: shapes and memory are those of the real thing, values are not, so that
// models of any size can be walked through. Memory that nobody writes to costs the host nothing.
#include <sys/mman.h>
#include <torch/extension.h>

#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/TensorShape.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {

using at::Tensor;
using c10::Device;
using c10::DeviceType;
using c10::DispatchKey;
using c10::DispatchKeySet;
using c10::IValue;

constexpr int kCards = 2;
constexpr size_t kGrain = 512;  // bytes, as torch's own allocator for cards
constexpr int64_t kLarge = 1 << 16;

bool dry = false;
thread_local c10::DeviceIndex current = 0;

struct Card final : c10::Allocator {
  std::atomic<size_t> capacity{0}, used{0}, peak{0};
  std::atomic<double> share{1};  // of the capacity, that this process may take
  c10::DeviceIndex index = 0;

  struct Block {
    Card* card;
    void* data;
    size_t bytes;
  };

  c10::DataPtr allocate(size_t wanted) override {
    const Device home(DeviceType::CUDA, index);
    if (!wanted) return {nullptr, home};
    const size_t bytes = (wanted + kGrain - 1) / kGrain * kGrain;
    TORCH_CHECK_WITH(OutOfMemoryError, used + bytes <= size_t(share * capacity), "CUDA out of memory. Tried to allocate ", bytes,
                     " bytes. GPU ", int(index), " has ", capacity.load(), " bytes, of which ", used.load(), " are in use.");
    used += bytes;
    peak = std::max(peak.load(), used.load());
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORCH_CHECK(data != MAP_FAILED, "the host has no room for a pretended card's memory");
    return {data, new Block{this, data, bytes}, &release, home};
  }

  static void release(void* context) {
    auto* block = static_cast<Block*>(context);
    munmap(block->data, block->bytes);
    block->card->used -= block->bytes;
    delete block;
  }

  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* target, const void* source, size_t bytes) const override { std::memcpy(target, source, bytes); }
};

std::array<Card, kCards> cards;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  DeviceType type() const override { return DeviceType::CUDA; }
  Device exchangeDevice(Device device) const override {
    const Device before = getDevice();
    current = device.index();
    return before;
  }
  Device getDevice() const override { return Device(DeviceType::CUDA, current); }
  void setDevice(Device device) const override { current = device.index(); }
  void uncheckedSetDevice(Device device) const noexcept override { current = device.index(); }
  c10::Stream getStream(Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return getStream(stream.device()); }
  c10::DeviceIndex deviceCount() const noexcept override { return kCards; }
};

struct CUDAHooks final : at::CUDAHooksInterface {
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return kCards; }
  c10::DeviceIndex deviceCount() const override { return kCards; }
  c10::DeviceIndex current_device() const override { return current; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(DeviceType::CPU); }
};

Card& card_of(std::optional<Device> device) {
  return cards.at(device && device->has_index() ? device->index() : current);
}

// --- moving between a card and the CPU, which share their memory ---

Tensor alias(const Tensor& tensor, DispatchKey key, DeviceType type) {
  const auto& storage = tensor.storage();
  c10::Storage host(c10::Storage::use_byte_size_t(), storage.nbytes(),
                    c10::DataPtr(const_cast<void*>(storage.data()), Device(type)), nullptr, false);
  Tensor found = at::detail::make_tensor<c10::TensorImpl>(std::move(host), DispatchKeySet(key), tensor.dtype());
  found.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  return found;
}

Tensor on_cpu(const Tensor& tensor) {
  return tensor.defined() && tensor.is_cuda() ? alias(tensor, DispatchKey::CPU, DeviceType::CPU) : tensor;
}

Tensor on_meta(const Tensor& tensor) {
  if (!tensor.defined() || tensor.is_meta()) return tensor;
  return at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(DeviceType::Meta));
}

Tensor on_card(const Tensor& host, Card& card) {
  if (!host.defined()) return host;
  Tensor found = at::detail::empty_strided_generic(host.sizes(), host.strides(), &card, DispatchKeySet(DispatchKey::CUDA),
                                                   host.scalar_type());
  if (!host.is_meta()) on_cpu(found).copy_(host);
  return found;
}

// --- what every device must bring itself ---

Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &card_of(device), DispatchKeySet(DispatchKey::CUDA),
                                   dtype.value_or(at::get_default_dtype_as_scalartype()), format);
}

Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<Device> device, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
                                           &card_of(device), DispatchKeySet(DispatchKey::CUDA),
                                           dtype.value_or(at::get_default_dtype_as_scalartype()));
}

Tensor& copy_(Tensor& self, const Tensor& source, bool) {
  if (!dry || self.numel() < kLarge || !self.is_floating_point()) on_cpu(self).copy_(on_cpu(source));
  return self;
}

Tensor& set_storage(Tensor& self, at::Storage source, int64_t offset, at::IntArrayRef size, at::IntArrayRef stride) {
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(source));
  self.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride, offset);
  return self;
}

Tensor& set_whole_storage(Tensor& self, at::Storage source) {
  const int64_t elements = source.nbytes() / self.itemsize();
  return set_storage(self, std::move(source), 0, {elements}, {1});
}

// Its own kernel, as the composite one asks which of CUDA's fused ones to take.
Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask,
                 double dropout, bool causal, std::optional<double> scale, bool grouped) {
  for (const Tensor& each : {key, value, mask.value_or(query)})
    TORCH_CHECK(each.device() == query.device(), "Expected all tensors to be on the same device, but found ",
                each.device(), " and ", query.device(), " (attention)");
  if (dry) return at::empty({query.size(0), query.size(2), query.size(1), value.size(3)}, query.options()).transpose(1, 2);
  const auto shown = mask ? std::optional<Tensor>(on_cpu(*mask)) : std::nullopt;
  return on_card(at::scaled_dot_product_attention(on_cpu(query), on_cpu(key), on_cpu(value), shown, dropout, causal, scale, grouped),
                 card_of(query.device()));
}

Tensor attention_with_gradients(const Tensor& query, const Tensor& key, const Tensor& value,
                                const std::optional<Tensor>& mask, double dropout, bool causal,
                                std::optional<double> scale, bool grouped) {
  return std::get<0>(at::_scaled_dot_product_attention_math(query, key, value, mask, dropout, causal, {}, scale, grouped));
}

// --- everything else: the CPU's kernel, on the same memory ---

struct Call {
  std::optional<Device> device;
  bool cpu_too = false, floating = false;
  std::vector<std::pair<Tensor, Tensor>> grown;  // of no size before: what the kernel makes of them

  void look_at(const Tensor& tensor) {
    if (!tensor.defined()) return;
    floating |= tensor.is_floating_point();
    if (tensor.is_cpu()) cpu_too |= tensor.dim() > 0;
    if (!tensor.is_cuda()) return;
    TORCH_CHECK(!device || *device == tensor.device(), "Expected all tensors to be on the same device, but found at "
                "least two devices, ", *device, " and ", tensor.device(), "!");
    device = tensor.device();
  }

  Tensor lend(const Tensor& tensor, bool written) {
    if (!tensor.defined()) return tensor;
    if (written && tensor.is_cuda() && !tensor.storage().nbytes()) {
      Tensor fresh = at::empty(tensor.sizes(), tensor.options().device(dry && floating ? DeviceType::Meta : DeviceType::CPU));
      grown.emplace_back(tensor, fresh);
      return fresh;
    }
    return dry && floating ? on_meta(tensor) : on_cpu(tensor);
  }
};

template <class Visit>
IValue each_tensor(const IValue& value, Visit visit) {
  if (value.isTensor()) return visit(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> found;
    for (const Tensor& tensor : value.toTensorVector()) found.push_back(visit(tensor));
    return found;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> found;
    for (const std::optional<Tensor>& tensor : value.toOptionalTensorVector())
      found.push_back(tensor ? std::optional<Tensor>(visit(*tensor)) : std::nullopt);
    return found;
  }
  return value;
}

bool is_written(const c10::Argument& argument) { return argument.alias_info() && argument.alias_info()->isWrite(); }

void compute(const c10::OperatorHandle& operation, DispatchKeySet, torch::jit::Stack* stack) {
  const auto& schema = operation.schema();
  const auto &arguments = schema.arguments(), &returns = schema.returns();
  const std::vector<IValue> given(stack->end() - arguments.size(), stack->end());
  const bool takes_cpu_indices = schema.name().rfind("aten::index", 0) == 0;
  Call call;
  for (const IValue& value : given) each_tensor(value, [&](const Tensor& tensor) { call.look_at(tensor); return tensor; });
  TORCH_CHECK(!call.cpu_too || takes_cpu_indices, "Expected all tensors to be on the same device, but found at least two "
              "devices, cuda:", int(call.device->index()), " and cpu! (", schema.name(), ")");
  for (size_t place = 0; place < given.size(); ++place) {
    auto& value = (*stack)[stack->size() - given.size() + place];
    value = given[place].isDevice() ? IValue(Device(DeviceType::CPU)) : each_tensor(given[place], [&](const Tensor& tensor) {
      return call.lend(tensor, is_written(arguments[place]));
    });
  }
  operation.callBoxed(stack);
  Card& card = card_of(call.device);
  for (auto& [mine, made] : call.grown) {
    const Tensor kept = on_card(made, card);
    mine.unsafeGetTensorImpl()->set_storage_keep_dtype(kept.storage());
    mine.unsafeGetTensorImpl()->set_sizes_and_strides(kept.sizes(), kept.strides());
  }
  for (size_t place = 0; place < returns.size(); ++place) {
    auto& value = (*stack)[stack->size() - returns.size() + place];
    const auto* shared = returns[place].alias_info();
    if (!shared) {
      value = each_tensor(value, [&](const Tensor& tensor) { return on_card(tensor, card); });
      continue;
    }
    TORCH_CHECK(shared->isWrite(), "a view that the pretended card does not know: ", schema.name());
    for (size_t argument = 0; argument < given.size(); ++argument)
      if (is_written(arguments[argument]) && arguments[argument].alias_info()->beforeSets() == shared->beforeSets())
        value = given[argument];
  }
}

}  // namespace

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, Guard);
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("copy_", &copy_);
  m.impl("_local_scalar_dense", [](const Tensor& self) { return on_cpu(self).item(); });
  m.impl("as_strided", [](const Tensor& self, at::IntArrayRef size, at::IntArrayRef stride, std::optional<int64_t> offset) {
    return at::native::as_strided_tensorimpl(self, size, stride, offset);
  });
  m.impl("view", [](const Tensor& self, at::IntArrayRef size) { return at::native::view(self, size); });
  m.impl("unfold", [](const Tensor& self, int64_t dimension, int64_t size, int64_t step) {
    return at::native::unfold(self, dimension, size, step);
  });
  m.impl("_reshape_alias", [](const Tensor& self, at::IntArrayRef size, at::IntArrayRef stride) {
    return at::native::_reshape_alias(self, size, stride);
  });
  m.impl("set_.source_Storage", &set_whole_storage);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
  m.impl("scaled_dot_product_attention", &attention);
  m.impl("convolution", torch::CppFunction::makeFromBoxedFunction<&compute>());  // the composite one asks for cuDNN
}

TORCH_LIBRARY_IMPL(aten, AutogradCUDA, m) {
  m.impl("scaled_dot_product_attention", &attention_with_gradients);
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>()); }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("insert", [](size_t bytes) {
    // torch asked for these hooks before anybody could register others: its own object gets our methods.
    static const CUDAHooks ours;
    auto& theirs = const_cast<at::CUDAHooksInterface&>(at::detail::getCUDAHooks());
    std::memcpy(static_cast<void*>(&theirs), static_cast<const void*>(&ours), sizeof(void*));
    for (int index = 0; index < kCards; ++index) {
      cards[index].index = index;
      cards[index].capacity = bytes;
    }
  });
  m.def("resize", [](int index, size_t bytes) { cards.at(index).capacity = bytes; });
  m.def("limit", [](int index, double share) { cards.at(index).share = share; });
  m.def("share", [](int index) { return cards.at(index).share.load(); });
  m.def("capacity", [](int index) { return cards.at(index).capacity.load(); });
  m.def("used", [](int index) { return cards.at(index).used.load(); });
  m.def("peak", [](int index) { return cards.at(index).peak.load(); });
  m.def("forget_peak", [] { for (Card& card : cards) card.peak = card.used.load(); });
  m.def("set_dry", [](bool value) { dry = value; });
  m.def("current", [] { return int(current); });
  m.def("set_current", [](int index) { current = index; });
  m.def("cards", [] { return kCards; });
}
